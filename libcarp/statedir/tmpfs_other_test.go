//go:build !linux

package statedir

import "errors"

func mountTiny(string) error { return errors.ErrUnsupported }
