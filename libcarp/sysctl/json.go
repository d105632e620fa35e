package sysctl

import (
	"bytes"
	"encoding/json"
)

// An object is what -j prints: names and values in the order in which they were asked for, each once.
type object []member

type member struct {
	name   string
	value  string
	number bool
}

func (o *object) add(name, value string, number bool) {
	for n := range *o {
		if (*o)[n].name == name {
			(*o)[n].value = value
			return
		}
	}
	*o = append(*o, member{name, value, number})
}

// String prints the object in one line.
func (o object) String() string {
	var b bytes.Buffer
	b.WriteByte('{')
	for n, m := range o {
		if n > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		value := []byte(m.value)
		if !m.number {
			value, _ = json.Marshal(m.value)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.String()
}
