# Sourced by findings about Go modules. printed MODULE@VERSION… is what the program on standard input prints, built with
# these in a temp folder. It needs Go and the Go module proxy.

source "$(dirname "${BASH_SOURCE[0]}")/seen.bash"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

printed() (
	cd "$folder"
	cat >main.go
	{
		go mod init finding
		go get "$@"
		go mod tidy
	} >build 2>&1 || { cat build; exit 1; }
	go run .
)
