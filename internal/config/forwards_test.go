package config

import (
	"slices"
	"testing"
)

func TestForwards(t *testing.T) {
	got, err := forwards("5432=db.example.com:5432,8081=[::1]:80")
	if want := []Forward{{5432, "db.example.com:5432"}, {8081, "[::1]:80"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := forwards(""); err != nil || len(got) != 0 {
		t.Errorf("none: %+v, %v", got, err)
	}
	for _, wrong := range []string{"5432", "0=a:1", "x=a:1", "1=a", "1=a:0", "1=:1", "1=a:99999", "1=a b:1", "1=a\r\nX:1", "1=a:1,1=b:1", "3128=a:1"} {
		if got, err := forwards(wrong); err == nil {
			t.Errorf("%q is %+v", wrong, got)
		}
	}
}
