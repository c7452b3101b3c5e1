// Command asker asks Go's own resolver for a name, and says how it ended.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
)

func main() {
	if _, err := (&net.Resolver{PreferGo: true}).LookupHost(context.Background(), os.Args[1]); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("found")
}
