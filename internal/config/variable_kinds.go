package config

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of variable of which there are several.

func pathVariable(name, def, meaning string, field func(*Config) *string) Variable {
	return Variable{Name: name, Default: def, Range: "an absolute path", Meaning: meaning,
		set: func(c *Config, v string) (err error) { *field(c), err = absolute(v); return err }}
}

func boolVariable(name, def, meaning string, field func(*Config) *bool) Variable {
	return Variable{Name: name, Default: def, Range: "1, true, 0, false", Meaning: meaning,
		set: func(c *Config, v string) (err error) { *field(c), err = boolean(v); return err }}
}

func secondsVariable(name, def string, low, high int64, meaning string, field func(*Config) *time.Duration) Variable {
	return Variable{Name: name, Default: def, Range: fmt.Sprintf("%d to %d s", low, high), Meaning: meaning,
		set: func(c *Config, v string) (err error) {
			*field(c), err = duration(v, time.Second, low, high)
			return err
		}}
}

// optional is a string that may be empty and is checked when it is not.
func optional(check func(string) error, field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*field(c) = v
		if v == "" {
			return nil
		}
		return check(v)
	}
}

// optionalPath is a path that may be empty.
func optionalPath(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) (err error) {
		if v != "" {
			*field(c), err = absolute(v)
		}
		return err
	}
}

func setLogLevel(c *Config, v string) error {
	switch v {
	case "debug", "info", "warn", "error":
		c.LogLevel = v
		return nil
	}
	return errors.New("must be debug, info, warn or error")
}
