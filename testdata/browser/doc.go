// Package browser looks at the page of the directive dashboard in Chromium: light, dark and narrow, with the keyboard, by
// axe-core's rules, and with names from the network that are markup; and at the commands top and tail in tmux.
//
//	go test -count=1 ./testdata/browser
//
// It needs node, npm and /usr/bin/chromium (Debian's packages nodejs, npm and chromium), and tmux. Screenshots are left in the folder
// $CLUSTERDNS_ARTIFACTS, or in a temporary one that the test names. With -update the one of the README is taken anew,
// which takes two minutes: its plots need some past.
package browser
