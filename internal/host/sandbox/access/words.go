package access

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseSize reads a number of bytes with its unit. One without is refused: some programs
// take it for bytes, others for megabytes.
func parseSize(s string) (int64, error) {
	wrong := errors.New("a whole number with its unit: k, m or g, as 512m")
	if s == "" {
		return 0, wrong
	}
	number, unit := strings.TrimSuffix(strings.ToLower(s), "b"), 0
	for i, u := range "kmg" {
		if n, ok := strings.CutSuffix(number, string(u)); ok {
			number, unit = n, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if unit == 0 || err != nil || n < 0 || n > math.MaxInt64>>unit {
		return 0, wrong
	}
	return n << unit, nil
}

// showSize is what parseSize reads, in the largest unit that is exact.
func showSize(n int64) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "g"}, {20, "m"}} {
		if n != 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n>>10, 10) + "k"
}

func parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("a whole number")
	}
	return n, nil
}

func parseCores(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, errors.New("a number of processors, as 0.5 or 2")
	}
	return n, nil
}

func parseTimeout(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n < int64(math.MaxInt64/time.Second) {
		return n * int64(time.Second), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("seconds (600), a duration (10m) or none")
	}
	return int64(d), nil
}
