// Package compare asks two servers the same questions and says where their answers differ.
//
// Questions come from a query log, from a list of names, or from a zone file. What is a difference, and what explains it,
// is observe/shadow's to say.
package compare
