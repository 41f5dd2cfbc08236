package egress

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

// The owner of a name decides which address it has, so the address is judged as well.
func TestAddresses(t *testing.T) {
	local := prefixes("198.51.100.7/32", "172.17.0.0/16", "fd00:17::/64")
	for address, least := range map[string]trust{
		"93.184.216.34": wildcard, "2606:2800:220:1::1": wildcard, "64:ff9b::5db8:d822": wildcard, "2002:5db8:d822::1": wildcard,
		"10.1.2.3": named, "192.168.0.1": named, "172.16.0.1": named, "fd12::1": named, "100.64.0.1": named, "192.0.2.1": named, "2001:db8::1": named,
		"64:ff9b::a01:203": named, "2002:a01:203::1": named,
		"127.0.0.1": literal, "::1": literal, "0.0.0.0": literal, "::": literal, "224.0.0.1": literal, "ff02::1": literal, "fe80::1": literal, "fe80::1%eth0": literal,
		// Metadata.
		"169.254.169.254": literal, "169.254.170.2": literal, "100.100.100.200": literal, "168.63.129.16": literal, "192.0.0.192": literal,
		"fd00:ec2::254": literal, "fd00:ec2::23": literal, "fd20:ce::254": literal, "fd00:c1::a9fe:a9fe": literal, "fd00:42::42": literal,
		// The same inside IPv6: mapped, compatible, translated, NAT64, a network's own NAT64, 6to4,
		// Teredo (server and client) and ISATAP.
		"::ffff:169.254.169.254": literal, "::169.254.169.254": literal, "::ffff:0:a9fe:a9fe": literal, "64:ff9b::a9fe:a9fe": literal,
		"64:ff9b:1::a9fe:a9fe": literal, "64:ff9b:1:a9fe:a9:fe00::": literal, "2002:a9fe:a9fe::1": literal,
		"2001:0:a9fe:a9fe::1": literal, "2001:0:5db8:d822:0:0:5601:5601": literal, "2606:2800::5efe:a9fe:a9fe": literal, "2606:2800::200:5efe:7f00:1": literal,
		"::ffff:127.0.0.1": literal, "::127.0.0.1": literal, "64:ff9b::7f00:1": literal, "2002:7f00:1::": literal,
		// This machine and its engine's network, likewise.
		"198.51.100.7": literal, "198.51.100.8": named, "172.17.0.1": literal, "172.17.3.4": literal, "fd00:17::2": literal,
		"64:ff9b::ac11:2": literal, "2002:ac11:2::1": literal, "::ffff:172.17.0.2": literal, "::172.17.0.2": literal,
	} {
		for _, tr := range []trust{wildcard, named, literal} {
			if err := reach(tr, netip.MustParseAddr(address), local); (err == nil) != (tr >= least) {
				t.Errorf("%s with trust %d: %v", address, tr, err)
			}
		}
	}
}

// The bridge of a container engine has only its containers' devices; a bridge with a
// network card is the machine's own network.
func TestLocalNetworks(t *testing.T) {
	got := localNetworks([]device{
		{name: "lo", index: 1, addrs: prefixes("127.0.0.1/8")},
		{name: "eth0", index: 2, addrs: prefixes("192.0.2.10/24")},
		{name: "docker0", kind: "bridge", index: 3, addrs: prefixes("172.17.0.1/16", "fd00:17::1/64")},
		{name: "veth1", kind: "veth", index: 4, master: 3},
		{name: "br0", kind: "bridge", index: 5, addrs: prefixes("10.0.0.5/8")},
		{name: "eth1", index: 6, master: 5},
		{name: "br-empty", kind: "bridge", index: 7, addrs: prefixes("172.18.0.1/16")},
	})
	want := prefixes("127.0.0.1/32", "192.0.2.10/32", "172.17.0.1/32", "172.17.0.0/16", "fd00:17::1/128", "fd00:17::/64", "10.0.0.5/32", "172.18.0.1/32", "172.18.0.0/16")
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Each address of the machine on which the tests run is found, and reached by no name.
func TestOwnAddressesAreReachedByNoName(t *testing.T) {
	known, err := devices()
	if err != nil {
		t.Fatal(err)
	}
	local := localNetworks(known)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		p := netip.MustParsePrefix(a.String())
		if !within(local, p.Addr()) || reach(named, p.Addr(), local) == nil {
			t.Errorf("a name reaches this machine's %s", a)
		}
	}
}
