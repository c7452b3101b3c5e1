# Sourced by findings.

# seen NAME GOT WANT ends the script if what was seen has changed.
seen() {
	printf '%s: %s\n' "$1" "$2"
	[ "$2" = "$3" ] || { printf 'was seen: %s\n' "$3"; exit 1; }
}

# wants NAME VERSION GOT ends the script where another version is installed.
wants() { [ "$2" = "$3" ] || { printf 'wants %s %s, and finds %s\n' "$1" "$2" "$3"; exit 1; }; }
