package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// Devices are what of the machine's hardware a container gets, in the engine's terms. The
// engine judges whether there is any of it.
type Devices struct {
	requests []container.DeviceRequest
	mappings []container.DeviceMapping
}

// ParseDevices reads what docker-run(1) takes as --gpus (all, a number, or device=ID,ID) and as
// --device (HOST[:CONTAINER[:rwm]], or a CDI name VENDOR/CLASS=NAME).
func ParseDevices(gpus string, devices []string) (Devices, error) {
	var d Devices
	if gpus != "" {
		r, err := parseGPUs(gpus)
		if err != nil {
			return d, err
		}
		d.requests = append(d.requests, r)
	}
	var named []string
	for _, text := range devices {
		if !strings.HasPrefix(text, "/") && strings.Contains(text, "/") && strings.Contains(text, "=") {
			named = append(named, text)
			continue
		}
		m, err := parseDevice(text)
		if err != nil {
			return d, err
		}
		d.mappings = append(d.mappings, m)
	}
	if len(named) > 0 {
		d.requests = append(d.requests, container.DeviceRequest{Driver: "cdi", DeviceIDs: named})
	}
	return d, nil
}

func parseGPUs(text string) (container.DeviceRequest, error) {
	r := container.DeviceRequest{Capabilities: [][]string{{"gpu"}}}
	if text == "all" {
		r.Count = -1
		return r, nil
	}
	if ids, ok := strings.CutPrefix(text, "device="); ok {
		if r.DeviceIDs = strings.Split(ids, ","); !slices.Contains(r.DeviceIDs, "") {
			return r, nil
		}
	} else if n, err := strconv.Atoi(text); err == nil && n > 0 {
		r.Count = n
		return r, nil
	}
	return r, fmt.Errorf("--gpus is %q; it must be all, a number from 1, or device=ID,ID", text)
}

func parseDevice(text string) (container.DeviceMapping, error) {
	parts := strings.Split(text, ":")
	m := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	if len(parts) > 1 {
		m.PathInContainer = parts[1]
	}
	if len(parts) > 2 {
		m.CgroupPermissions = parts[2]
	}
	ok := len(parts) <= 3 && strings.HasPrefix(m.PathOnHost, "/") && strings.HasPrefix(m.PathInContainer, "/") &&
		m.CgroupPermissions != "" && strings.Trim(m.CgroupPermissions, "rwm") == ""
	if !ok {
		return m, fmt.Errorf("--device is %q; it must be /dev/NAME, /dev/NAME:/dev/INSIDE, with :rwm what may be done, or a CDI name VENDOR/CLASS=NAME", text)
	}
	return m, nil
}

func (d Devices) apply(h *container.HostConfig) {
	h.DeviceRequests = append(h.DeviceRequests, d.requests...)
	h.Devices = append(h.Devices, d.mappings...)
}
