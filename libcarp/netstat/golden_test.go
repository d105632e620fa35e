package netstat

import (
	"testing"

	"carp/libcarp/internal/golden"
)

func TestMain(m *testing.M) { golden.Main(m) }

func TestGolden(t *testing.T) { golden.Run(t) }
