package ifconfig

import (
	"strings"
	"unsafe"
)

// TakeArgs returns a copy of argv, and overwrites with zeros what follows each word pass in argv itself. Anybody may read a
// process's argument vector with ps(1), and on the systems that we run on os.Args points into it. It must be the first thing
// that the program does; nobody may have kept a part of argv.
func TakeArgs(argv []string) []string {
	args := make([]string, len(argv))
	for i, arg := range argv {
		args[i] = strings.Clone(arg)
	}
	for i := 1; i < len(argv); i++ {
		if args[i-1] == "pass" {
			clear(unsafe.Slice(unsafe.StringData(argv[i]), len(argv[i])))
		}
	}
	return args
}
