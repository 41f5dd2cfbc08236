package egress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// metadata are addresses at which clouds hand out credentials and which are not link-local.
var metadata = prefixes(
	"100.100.100.200/32", // Alibaba Cloud
	"168.63.129.16/32",   // Azure
	"192.0.0.192/32",     // Oracle Cloud, before 169.254.169.254
	"fd00:ec2::/64",      // AWS: ::254 instances, ::23 pods
	"fd20:ce::/64",       // Google Cloud: ::254
	"fd00:c1::/64",       // Oracle Cloud: ::a9fe:a9fe
	"fd00:42::/64",       // Scaleway: ::42
)

// special are networks that the standard library takes for global and that are not: the IANA
// registries of special-purpose addresses (RFC 6890) have them.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
)

// localTranslation is for translators of a network's own (RFC 8215): where in the address
// they put the IPv4 one is theirs to choose.
var localTranslation = netip.MustParsePrefix("64:ff9b:1::/48")

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// reach says why an address may not be reached by a host of that trust. local are the
// networks of this machine, see localNetworks.
func reach(t trust, a netip.Addr, local []netip.Prefix) error {
	if t == literal {
		return nil
	}
	// A translator or a tunnel sends on to the address inside.
	for _, a := range append([]netip.Addr{a.WithZone("").Unmap()}, inside(a)...) {
		switch {
		case !a.IsValid(), a.IsLoopback(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), within(metadata, a), localTranslation.Contains(a):
			return fmt.Errorf("it resolves to %s, which no name is allowed to reach", a)
		case within(local, a):
			return fmt.Errorf("it resolves to %s, which is this machine's own or a network of its container engine: no name is allowed to reach it", a)
		case t == wildcard && (!a.IsGlobalUnicast() || a.IsPrivate() || within(special, a)):
			return fmt.Errorf("it resolves to %s in a private network, which no wildcard is allowed to reach: allow the name itself", a)
		}
	}
	return nil
}

// inside gives the IPv4 addresses that an IPv6 address stands for.
func inside(a netip.Addr) (out []netip.Addr) {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	v4 := func(at int) { out = append(out, netip.AddrFrom4([4]byte(b[at:at+4]))) }
	has := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a.WithZone("")) }
	switch {
	case has("::/96"), // compatible (RFC 4291, 2.5.5.1); :: and ::1 are themselves
		has("::ffff:0:0/96"),   // mapped (2.5.5.2)
		has("::ffff:0:0:0/96"), // translated (RFC 2765)
		has("64:ff9b::/96"):    // NAT64 (RFC 6052)
		v4(12)
	case has("2002::/16"): // 6to4 (RFC 3056)
		v4(2)
	case has("2001::/32"): // Teredo (RFC 4380): the server, and the client's with its bits turned
		v4(4)
		client := ^binary.BigEndian.Uint32(b[12:])
		out = append(out, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, client))))
	}
	// ISATAP (RFC 5214) is an interface's identifier, below any prefix.
	if id := [4]byte(b[8:12]); id == [4]byte{0, 0, 0x5e, 0xfe} || id == [4]byte{2, 0, 0x5e, 0xfe} {
		v4(12)
	}
	return out
}
