package object

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/zones"
)

// A stripped object in a file is its fields one after the other, as their types say:
//
//	bool, unsigned         uvarint
//	signed                 varint
//	string                 uvarint with its length, and its octets
//	slice, map             uvarint with its length and one more, 0 for nil, and its elements; a map is sorted by its keys
//	pointer                uvarint 1 and what it points at, or 0 for nil
//	netip.Addr             a string of 4 or 16 octets
//	netip.Prefix           its address, and its length as uvarint
//	time.Time              uvarint 0 for the zero time, or 1 and varints with its seconds since 1970 and nanoseconds
//	*zones.PodDetails      uvarint 1 and a string, or 0 for nil
//
// So a field that is new to a type is written and read without further ado, and Layout tells such a file from one before.

// held are the types of stripped objects, by what they are held as.
var held = []struct {
	kinds zones.Kinds
	typ   reflect.Type // of a struct
}{
	{zones.Services, reflect.TypeFor[Service]()},
	{zones.Slices, reflect.TypeFor[Slice]()},
	{zones.Namespaces, reflect.TypeFor[Namespace]()},
	{zones.PodObjects, reflect.TypeFor[Pod]()},
	{zones.Ingresses, reflect.TypeFor[Ingress]()},
	{zones.Gateways, reflect.TypeFor[KeptGateway]()},
	{zones.HTTPRoutes | zones.TLSRoutes | zones.GRPCRoutes, reflect.TypeFor[Route]()},
	{zones.DNSEndpoints, reflect.TypeFor[Records]()},
	{zones.Nodes, reflect.TypeFor[Node]()},
}

// typeOf is the type that objects of one kind are held as; nil for none.
func typeOf(kind zones.Kinds) reflect.Type {
	for _, h := range held {
		if h.kinds&kind != 0 {
			return h.typ
		}
	}
	return nil
}

var (
	typeAddr    = reflect.TypeFor[netip.Addr]()
	typePrefix  = reflect.TypeFor[netip.Prefix]()
	typeTime    = reflect.TypeFor[time.Time]()
	typeDetails = reflect.TypeFor[*zones.PodDetails]()
)

// Layout tells objects as this program writes them from those of a program whose types are others.
func Layout() (digest [8]byte) {
	var text strings.Builder
	for _, h := range held {
		fmt.Fprintf(&text, "%d ", h.kinds)
		layoutOf(&text, h.typ)
	}
	sum := sha256.Sum256([]byte(text.String()))
	copy(digest[:], sum[:])
	return digest
}

func layoutOf(text *strings.Builder, t reflect.Type) {
	fmt.Fprintf(text, "%v %v\n", t, t.Kind())
	switch {
	case t == typeAddr || t == typePrefix || t == typeTime || t == typeDetails:
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			text.WriteString(t.Field(i).Name + " ")
			layoutOf(text, t.Field(i).Type)
		}
	case slices.Contains([]reflect.Kind{reflect.Slice, reflect.Pointer, reflect.Map}, t.Kind()):
		layoutOf(text, t.Elem())
	}
}

// Append appends an object as a file has it.
func Append(list []byte, o Object) []byte { return appendValue(list, reflect.ValueOf(o).Elem()) }

func appendValue(list []byte, v reflect.Value) []byte {
	switch v.Type() {
	case typeAddr:
		return appendText(list, string(v.Interface().(netip.Addr).AsSlice()))
	case typePrefix:
		p := v.Interface().(netip.Prefix)
		return binary.AppendUvarint(appendText(list, string(p.Addr().AsSlice())), uint64(p.Bits()))
	case typeTime:
		t := v.Interface().(time.Time)
		if t.IsZero() {
			return append(list, 0)
		}
		return binary.AppendVarint(binary.AppendVarint(append(list, 1), t.Unix()), int64(t.Nanosecond()))
	case typeDetails:
		if v.IsNil() {
			return append(list, 0)
		}
		return appendText(append(list, 1), v.Interface().(*zones.PodDetails).Pack())
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(list, 1)
		}
		return append(list, 0)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(list, v.Uint())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(list, v.Int())
	case reflect.String:
		return appendText(list, v.String())
	case reflect.Struct:
		for i := range v.NumField() {
			list = appendValue(list, v.Field(i))
		}
		return list
	case reflect.Pointer:
		if v.IsNil() {
			return append(list, 0)
		}
		return appendValue(append(list, 1), v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return append(list, 0)
		}
		list = binary.AppendUvarint(list, uint64(v.Len())+1)
		for i := range v.Len() {
			list = appendValue(list, v.Index(i))
		}
		return list
	case reflect.Map:
		return appendMap(list, v)
	}
	panic(fmt.Sprintf("a stripped object has a field of type %v, which no file has", v.Type()))
}

func appendMap(list []byte, v reflect.Value) []byte {
	if v.IsNil() {
		return append(list, 0)
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	list = binary.AppendUvarint(list, uint64(len(keys))+1)
	for _, k := range keys {
		list = appendValue(appendValue(list, k), v.MapIndex(k))
	}
	return list
}

func appendText(list []byte, text string) []byte {
	return append(binary.AppendUvarint(list, uint64(len(text))), text...)
}

var errEncoding = errors.New("it does not have the fields of its kind")

// Parse is the object of one kind that data is, as Append has written it. Its texts are parts of data. An error is for
// data that stripping and Append have not made.
func Parse(kind zones.Kinds, data string) (Object, error) {
	t := typeOf(kind)
	if t == nil {
		return nil, errEncoding
	}
	v := reflect.New(t)
	p := &parser{rest: data}
	if p.value(v.Elem()); p.failed || p.rest != "" {
		return nil, errEncoding
	}
	o := v.Interface().(Object)
	return o, check(o, kind)
}

// parser reads values from the front of rest. After a failure nothing that it has read counts.
type parser struct {
	rest   string
	failed bool
}

func (p *parser) value(v reflect.Value) {
	switch v.Type() {
	case typeAddr:
		addr, ok := netip.AddrFromSlice([]byte(p.text()))
		p.require(ok)
		v.Set(reflect.ValueOf(addr))
		return
	case typePrefix:
		addr, ok := netip.AddrFromSlice([]byte(p.text()))
		bits := p.uvarint()
		p.require(ok && bits <= uint64(addr.BitLen()))
		if !p.failed {
			v.Set(reflect.ValueOf(netip.PrefixFrom(addr, int(bits))))
		}
		return
	case typeTime:
		if p.flag() {
			seconds, nanoseconds := p.varint(), p.varint()
			t := time.Unix(seconds, nanoseconds).UTC()
			p.require(nanoseconds >= 0 && nanoseconds < 1e9 && !t.IsZero())
			v.Set(reflect.ValueOf(t))
		}
		return
	case typeDetails:
		if p.flag() {
			v.Set(reflect.ValueOf(zones.UnpackPodDetails(p.text())))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(p.flag())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := p.uvarint()
		p.require(!v.OverflowUint(n))
		v.SetUint(n)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n := p.varint()
		p.require(!v.OverflowInt(n))
		v.SetInt(n)
	case reflect.String:
		v.SetString(p.text())
	case reflect.Struct:
		for i := 0; i < v.NumField() && !p.failed; i++ {
			p.value(v.Field(i))
		}
	case reflect.Pointer:
		if p.flag() {
			v.Set(reflect.New(v.Type().Elem()))
			p.value(v.Elem())
		}
	case reflect.Slice:
		if n, ok := p.count(); ok {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := 0; i < n && !p.failed; i++ {
				p.value(v.Index(i))
			}
		}
	case reflect.Map:
		p.entries(v)
	}
}

// entries reads a map, whose keys are in their order.
func (p *parser) entries(v reflect.Value) {
	n, ok := p.count()
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	key, value, last := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem(), ""
	for i := 0; i < n && !p.failed; i++ {
		p.value(key)
		p.value(value)
		p.require(i == 0 || key.String() > last)
		last = key.String()
		v.SetMapIndex(key, value)
	}
}

func (p *parser) require(ok bool) { p.failed = p.failed || !ok }

// count is the length of a slice or map; ok is false for nil. Each element takes an octet at least, so no more is
// allocated than there can be.
func (p *parser) count() (n int, ok bool) {
	length := p.uvarint()
	p.require(length <= uint64(len(p.rest))+1)
	if p.failed || length == 0 {
		return 0, false
	}
	return int(length) - 1, true
}

func (p *parser) flag() bool {
	n := p.uvarint()
	p.require(n <= 1)
	return n == 1
}

func (p *parser) text() string {
	n := p.uvarint()
	p.require(n <= uint64(len(p.rest)))
	if p.failed {
		return ""
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text
}

func (p *parser) varint() int64 {
	n := p.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (p *parser) uvarint() (n uint64) {
	for i := 0; i < len(p.rest) && i < binary.MaxVarintLen64; i++ {
		c := p.rest[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			p.require((i == 0 || c > 0) && (i < 9 || c == 1)) // a number has one form
			p.rest = p.rest[i+1:]
			return n
		}
	}
	p.failed = true
	return 0
}
