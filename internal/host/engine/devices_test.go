package engine

import (
	"reflect"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestDevices(t *testing.T) {
	gpu := [][]string{{"gpu"}}
	for _, tc := range []struct {
		gpus     string
		devices  []string
		requests []container.DeviceRequest
		mappings []container.DeviceMapping
	}{
		{gpus: "all", requests: []container.DeviceRequest{{Count: -1, Capabilities: gpu}}},
		{gpus: "2", requests: []container.DeviceRequest{{Count: 2, Capabilities: gpu}}},
		{gpus: "device=0,GPU-1", requests: []container.DeviceRequest{{DeviceIDs: []string{"0", "GPU-1"}, Capabilities: gpu}}},
		{devices: []string{"/dev/kvm", "/dev/a:/dev/b:r", "vendor.com/class=name"},
			mappings: []container.DeviceMapping{{PathOnHost: "/dev/kvm", PathInContainer: "/dev/kvm", CgroupPermissions: "rwm"}, {PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "r"}},
			requests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"vendor.com/class=name"}}}},
	} {
		d, err := ParseDevices(tc.gpus, tc.devices)
		h := Spec{Devices: d, Runtime: "runsc"}.host(false)
		if err != nil || !reflect.DeepEqual(h.DeviceRequests, tc.requests) || !reflect.DeepEqual(h.Devices, tc.mappings) || h.Runtime != "runsc" {
			t.Errorf("%q %q gives %+v, %+v, %q, %v", tc.gpus, tc.devices, h.DeviceRequests, h.Devices, h.Runtime, err)
		}
	}
	for _, wrong := range []string{"0", "-1", "some", "device=", "device=0,,1"} {
		if _, err := ParseDevices(wrong, nil); err == nil {
			t.Errorf("--gpus %q is taken", wrong)
		}
	}
	for _, wrong := range []string{"", "kvm", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/a:/dev/b:", "/dev/a:/dev/b:r:r"} {
		if _, err := ParseDevices("", []string{wrong}); err == nil {
			t.Errorf("--device %q is taken", wrong)
		}
	}
}
