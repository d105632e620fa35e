package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/internal/plainfile"
)

// Interface returns one carp interface; the error is config.ENXIO when there is none.
func (d Dir) Interface(name string) (Status, Remark, error) {
	return display(d, &request{object: objInterface, name: name}, ParseStatus, func() (Status, error) {
		return d.idleInterface(name)
	})
}

// Interfaces returns all carp interfaces in the order of their creation.
func (d Dir) Interfaces() ([]Status, Remark, error) {
	return display(d, &request{object: objInterfaces}, parseStatuses, d.idleInterfaces)
}

// Groups returns the demotion of each group.
func (d Dir) Groups() (map[string]int, Remark, error) {
	return display(d, &request{object: objGroups}, ParseGroups, func() (map[string]int, error) {
		return readStatus(d, groupsFile, map[string]int{"carp": 0}, ParseGroups)
	})
}

// Sysctl returns net.inet.carp's variables.
func (d Dir) Sysctl() (config.Sysctl, Remark, error) {
	return display(d, &request{object: objSysctl}, ParseSysctl, func() (config.Sysctl, error) {
		return readStatus(d, sysctlFile, config.DefaultSysctl(), ParseSysctl)
	})
}

// Stats returns the machine's counters: all zero while kernelsim does not run, those of the last second when it does not answer.
func (d Dir) Stats() (config.Stats, Remark, error) {
	s, remark, err := display(d, &request{object: objStats}, config.ParseStats, func() (config.Stats, error) {
		return readStatus(d, statsFile, config.Stats{}, config.ParseStats)
	})
	if remark == NotRunning {
		s = config.Stats{}
	}
	return s, remark, err
}

// CarpStats returns the counters of each carp, as they were within the last second; there are none while kernelsim does not run. A carp that
// is not there has counted nothing.
func (d Dir) CarpStats() (map[string]config.Stats, Remark, error) {
	s, remark, err := display(d, &request{object: objStats}, ParseCarpStats, func() (map[string]config.Stats, error) {
		return readStatus(d, statsFile, map[string]config.Stats{}, ParseCarpStats)
	})
	if remark == NotRunning {
		s = map[string]config.Stats{}
	}
	return s, remark, err
}

// display asks kernelsim and parses the payload; when it does not run or does not answer within a second, the files are read
// instead and the remark says why.
func display[T any](d Dir, r *request, parse func([]byte) (T, error), idle func() (T, error)) (T, Remark, error) {
	var none T
	r.verb, r.net = verbShow, networkID()
	payload, reply, err := d.ask(r, time.Now().Add(displayPatience))
	remark := Remark("")
	switch {
	case errors.Is(err, errNotRunning):
		remark = NotRunning
	case errors.Is(err, errNoAnswer), errors.Is(reply.Err, config.EAGAIN):
		remark = NoAnswer
	case err != nil:
		return none, "", err
	case reply.Err != nil:
		return none, "", reply.Err
	}
	if remark != "" {
		v, err := idle()
		return v, remark, err
	}
	v, err := parse(payload)
	if err != nil {
		return none, "", fmt.Errorf("kernelsim's answer: %w", err)
	}
	return v, "", nil
}

// parseStatuses reads any number of statuses, each of which begins with its tag.
func parseStatuses(data []byte) (all []Status, err error) {
	tag := []byte(StatusTag + "\n")
	for len(data) > 0 {
		length := bytes.Index(data[1:], append([]byte("\n"), tag...))
		one := data
		if length >= 0 {
			one = data[:length+2]
		}
		data = data[len(one):]
		st, err := ParseStatus(one)
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, nil
}

// idleInterface reads one interface's file. Whatever state it says, while no engine runs it is INIT.
func (d Dir) idleInterface(name string) (Status, error) {
	if !config.IsCarpName(name) {
		return Status{}, noInterface
	}
	st, err := readStatus(d, name, Status{}, ParseStatus)
	switch {
	case err != nil:
		return Status{}, err
	case st.Name != name: // there was no file
		return Status{}, noInterface
	}
	return st.Idle(), nil
}

// idleInterfaces reads them all. With an error that names what is damaged it returns the others.
func (d Dir) idleInterfaces() (all []Status, err error) {
	if current, err := d.current(); !current {
		return nil, err
	}
	names, err := carpsIn(d.path("status"))
	for _, name := range names {
		st, oneErr := d.idleInterface(name)
		switch {
		case oneErr == nil:
			all = append(all, st)
		case !errors.Is(oneErr, config.ENXIO):
			err = errors.Join(err, oneErr)
		}
	}
	sortStatuses(all)
	return all, err
}

// current reports whether the files are of this boot; a newer layout is an error.
func (d Dir) current() (bool, error) {
	left, err := d.readVersion()
	return err == nil && !left.ofOtherBoot(bootID()), err
}

// readStatus reads a file of status/. What is missing, or was left by another boot, is as missing says.
func readStatus[T any](d Dir, file string, missing T, parse func([]byte) (T, error)) (T, error) {
	if current, err := d.current(); !current {
		return missing, err
	}
	data, err := plainfile.Read(d.status(file))
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	}
	if err != nil {
		return missing, err
	}
	v, err := parse(data)
	if err != nil {
		return missing, fmt.Errorf("%s: %w", d.status(file), err)
	}
	return v, nil
}
