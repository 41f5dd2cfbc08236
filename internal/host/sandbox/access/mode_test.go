package access

import (
	"reflect"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func TestDecideMode(t *testing.T) {
	full := &catalog.Manifest{Access: catalog.Full}
	for _, tc := range []struct {
		m              *catalog.Manifest
		asked, network string
		want           datadir.Access
	}{
		{nil, "", "", datadir.Access{Mode: datadir.Restricted}},
		{&catalog.Manifest{Access: catalog.Restricted}, "", "", datadir.Access{Mode: datadir.Restricted}},
		{&catalog.Manifest{Access: "whatever comes next"}, "", "", datadir.Access{Mode: datadir.Restricted}},
		{full, "", "", datadir.Access{Mode: datadir.Full}},
		{full, "restricted", "", datadir.Access{Mode: datadir.Restricted}},
		{nil, "full", "", datadir.Access{Mode: datadir.Full}},
		{nil, "", "mine", datadir.Access{Mode: datadir.Full, Network: "mine"}},
		{nil, "full", "mine", datadir.Access{Mode: datadir.Full, Network: "mine"}},
		{full, "allow=a.example,*.b.example:8443,db.example:5432=15432,[::1]:99=1099", "", datadir.Access{Mode: datadir.Allow,
			Allow:    []string{"a.example", "*.b.example:8443", "db.example:5432", "[::1]:99"},
			Forwards: []string{"15432=db.example:5432", "1099=[::1]:99"}}},
	} {
		if got, err := DecideMode(tc.m, tc.asked, tc.network); err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: %+v, %v; want %+v", tc.asked, got, err, tc.want)
		}
	}
	for asked, want := range map[string][]string{
		"none": {"--access is \"none\"", "restricted"}, "allow": {"allow=HOST"}, "allow=": {`""`}, "allow=a,,b": {`""`}, "allow=http://a": {"http://a"},
		"allow=*": {"*"}, "allow=a=5000": {"HOST:PORT=LOCALPORT"}, "allow=*.a:1=5000": {"one host"}, "allow=a:1=80,b:1=x": {"a:1=80", "b:1=x"},
		"allow=a:1=5000,b:1=05000": {"5000, which is taken"}, "allow=a:1=3128": {"3128, which is taken"},
	} {
		_, err := DecideMode(full, asked, "")
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %s", asked, err, w)
			}
		}
	}
	if _, err := DecideMode(full, "restricted", "mine"); err == nil {
		t.Error("a network without one")
	}
}
