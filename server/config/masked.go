package config

import (
	"regexp"
	"slices"
)

// keptText bounds what is kept of the text of all files. What is beyond it is not shown.
const keptText = 256 << 10

// keep keeps the text of a file for people to read, once and without its secrets. Variables stay as they are written.
func (c *Config) keep(name string, content []byte) {
	size := 0
	for _, f := range c.Files {
		size += len(f.Text)
	}
	if slices.ContainsFunc(c.Files, func(f File) bool { return f.Name == name }) {
		return
	}
	text := Mask(string(content))
	if size+len(name)+len(text) > keptText {
		text = "# too long to be shown\n"
		if size+len(name)+len(text) > keptText {
			return
		}
	}
	c.Files = append(c.Files, File{name, text})
}

// The secrets that a Corefile may have: the password of etcd, and one in a URL.
var (
	credentials = regexp.MustCompile(`(?m)\b(credentials[ \t]+\S+[ \t]+)[^\n]+`)
	userinfo    = regexp.MustCompile(`(://)[^/\s]+@`) // a password may have an @
)

// Mask takes the secrets out of the text of a Corefile, or of an error about one.
func Mask(text string) string {
	return userinfo.ReplaceAllString(credentials.ReplaceAllString(text, "${1}***"), "${1}***@")
}
