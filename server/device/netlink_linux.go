package device

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the kernel is told of devices and their addresses: rtnetlink(7), a message and its reply at a time.

// link is a network device.
type link struct {
	index uint32
	alias string
}

// find fails with ENODEV when there is no such device.
func find(name string) (l link, err error) {
	reply, err := request(unix.RTM_GETLINK, 0, attribute(deviceAt(0), unix.IFLA_IFNAME, text(name)))
	if err != nil {
		return link{}, err
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&reply)
	if err != nil {
		return link{}, err
	}
	l.index = binary.NativeEndian.Uint32(reply.Data[4:])
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_IFALIAS {
			l.alias = unix.ByteSliceToString(a.Value)
		}
	}
	return l, nil
}

func makeDevice(name, kind string) error {
	body := attribute(deviceAt(0), unix.IFLA_IFNAME, text(name))
	body = attribute(body, unix.IFLA_LINKINFO, attribute(nil, unix.IFLA_INFO_KIND, text(kind)))
	_, err := request(unix.RTM_NEWLINK, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	return err
}

func (l link) setAlias(alias string) error {
	_, err := request(unix.RTM_SETLINK, unix.NLM_F_ACK, attribute(deviceAt(l.index), unix.IFLA_IFALIAS, text(alias)))
	return err
}

func (l link) delete() error {
	_, err := request(unix.RTM_DELLINK, unix.NLM_F_ACK, deviceAt(l.index))
	return err
}

func (l link) add(a netip.Addr) error {
	_, err := request(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, l.with(a))
	return err
}

func (l link) remove(a netip.Addr) error {
	_, err := request(unix.RTM_DELADDR, unix.NLM_F_ACK, l.with(a))
	return err
}

// with is a struct ifaddrmsg and its attributes: the address in a network of one. Its scope is this machine, so that nothing that
// leaves the machine gets it as its source. One of IPv6 is used at once: no other machine may object to it (duplicate address
// detection, RFC 4862 section 5.4).
func (l link) with(a netip.Addr) []byte {
	family := byte(unix.AF_INET)
	if a.Is6() {
		family = unix.AF_INET6
	}
	body := binary.NativeEndian.AppendUint32([]byte{family, byte(a.BitLen()), unix.IFA_F_NODAD, unix.RT_SCOPE_HOST}, l.index)
	body = attribute(body, unix.IFA_LOCAL, a.AsSlice())
	return attribute(body, unix.IFA_ADDRESS, a.AsSlice())
}

// deviceAt is a struct ifinfomsg. Index 0 is that of a device which attributes name.
func deviceAt(index uint32) []byte {
	body := make([]byte, unix.SizeofIfInfomsg, 64)
	binary.NativeEndian.PutUint32(body[4:], index)
	return body
}

// attribute appends one to a message, padded to 4 octets.
func attribute(body []byte, kind uint16, value []byte) []byte {
	body = binary.NativeEndian.AppendUint16(body, uint16(unix.SizeofRtAttr+len(value)))
	body = binary.NativeEndian.AppendUint16(body, kind)
	body = append(body, value...)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	return body
}

func text(s string) []byte { return append([]byte(s), 0) }

// request sends one message to the kernel and returns its reply: what was asked for, or an acknowledgement.
func request(kind, flags uint16, body []byte) (reply syscall.NetlinkMessage, err error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return reply, err
	}
	defer unix.Close(socket)
	message := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|flags)
	message = append(message, make([]byte, 8)...) // sequence number and port: the socket has this one question
	message = append(message, body...)
	if err := unix.Sendto(socket, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return reply, err
	}
	octets := make([]byte, 64<<10)
	n, _, err := unix.Recvfrom(socket, octets, 0)
	if err != nil {
		return reply, err
	}
	return parseReply(octets[:n])
}

// parseReply returns the one message of a reply, or the error that it tells.
func parseReply(octets []byte) (reply syscall.NetlinkMessage, err error) {
	messages, err := syscall.ParseNetlinkMessage(octets)
	if err != nil || len(messages) != 1 || len(messages[0].Data) < 4 {
		return reply, fmt.Errorf("the kernel's reply cannot be read (%d octets, %v)", len(octets), err)
	}
	reply = messages[0]
	if reply.Header.Type == unix.NLMSG_ERROR {
		if code := int32(binary.NativeEndian.Uint32(reply.Data)); code != 0 {
			return reply, syscall.Errno(-code)
		}
	} else if len(reply.Data) < unix.SizeofIfInfomsg {
		return reply, fmt.Errorf("the kernel's reply of type %d is cut off", reply.Header.Type)
	}
	return reply, nil
}

// follow opens a socket that can be read from when addresses of the machine have come or gone.
func follow() (*os.File, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	groups := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR}
	if err := unix.Bind(socket, groups); err != nil {
		unix.Close(socket)
		return nil, err
	}
	return os.NewFile(uintptr(socket), "rtnetlink"), nil
}
