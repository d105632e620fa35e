package libcarp

import "carp/libcarp/statedir"

// Holders returns what the demotion of each group is made of: of each group, what each holder has.
func (c *Conn) Holders() (statedir.Holders, statedir.Remark, error) { return c.dir.Holders() }

// Hold demotes a group by n, 1 to 128, under the name of a holder, until Release is called or this process ends in whatever way.
func (c *Conn) Hold(group, holder string, n int) (*statedir.Hold, error) {
	return c.dir.Hold(group, holder, n)
}
