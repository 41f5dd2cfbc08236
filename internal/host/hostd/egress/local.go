package egress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// device is one of the machine's network devices.
type device struct {
	name   string
	kind   string // "bridge", "veth", ...; empty: hardware
	index  int
	master int // the bridge that it belongs to
	addrs  []netip.Prefix
}

// localNetworks are the addresses of this machine, and the networks of bridges that lead
// to none of its hardware: a container engine's, whose other containers are no host that a
// name may stand for. A bridge with a network card is the way to the machine's own network.
func localNetworks(devices []device) (out []netip.Prefix) {
	for _, d := range devices {
		outward := slices.ContainsFunc(devices, func(p device) bool { return p.master == d.index && p.kind == "" })
		for _, a := range d.addrs {
			out = append(out, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
			if d.kind == "bridge" && !outward {
				out = append(out, a.Masked())
			}
		}
	}
	return out
}

// devices asks the kernel (rtnetlink(7)): /sys/class/net shows them only where it is mounted
// in this network namespace.
func devices() ([]device, error) {
	byIndex := make(map[int]*device)
	var order []int
	err := dump(syscall.RTM_GETLINK, func(m *syscall.NetlinkMessage, attrs []syscall.NetlinkRouteAttr) {
		d := &device{index: int(int32(binary.NativeEndian.Uint32(m.Data[4:])))} // struct ifinfomsg
		for _, a := range attrs {
			switch a.Attr.Type {
			case syscall.IFLA_IFNAME:
				d.name = text(a.Value)
			case syscall.IFLA_MASTER:
				d.master = int(binary.NativeEndian.Uint32(a.Value))
			case syscall.IFLA_LINKINFO:
				d.kind = linkKind(a.Value)
			}
		}
		byIndex[d.index] = d
		order = append(order, d.index)
	})
	if err != nil {
		return nil, err
	}
	err = dump(syscall.RTM_GETADDR, func(m *syscall.NetlinkMessage, attrs []syscall.NetlinkRouteAttr) {
		d := byIndex[int(binary.NativeEndian.Uint32(m.Data[4:]))] // struct ifaddrmsg
		bits := int(m.Data[1])
		var addr netip.Addr
		for _, a := range attrs {
			// IFA_ADDRESS is the other end's on a point-to-point device; IFA_LOCAL is then ours.
			if a.Attr.Type == syscall.IFA_LOCAL || a.Attr.Type == syscall.IFA_ADDRESS && !addr.IsValid() {
				addr, _ = netip.AddrFromSlice(a.Value)
			}
		}
		if d != nil && addr.IsValid() {
			d.addrs = append(d.addrs, netip.PrefixFrom(addr, bits))
		}
	})
	if err != nil {
		return nil, err
	}
	var out []device
	for _, i := range order {
		out = append(out, *byIndex[i])
	}
	return out, nil
}

func dump(what int, each func(*syscall.NetlinkMessage, []syscall.NetlinkRouteAttr)) error {
	b, err := syscall.NetlinkRIB(what, syscall.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("cannot ask the kernel for this machine's networks: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return fmt.Errorf("cannot read this machine's networks: %w", err)
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type == syscall.NLMSG_DONE {
			return nil
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return fmt.Errorf("cannot read this machine's networks: %w", err)
		}
		each(m, attrs)
	}
	return nil
}

// linkKind reads IFLA_INFO_KIND, the first attribute (linux/if_link.h, 1) in IFLA_LINKINFO.
func linkKind(b []byte) string {
	for len(b) >= 4 {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < 4 || n > len(b) {
			return ""
		}
		if kind == 1 {
			return text(b[4:n])
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return ""
}

// text is a string of the kernel's, which ends with a NUL.
func text(b []byte) string {
	if i := slices.Index(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
