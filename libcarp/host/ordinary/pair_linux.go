package ordinary

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"carp/libcarp/config"
)

// Patch makes two pairs one. Linux makes the ends of a veth together, so both are made anew, with all that they had but their indices.
func (h linux) Patch(name, peer string) error {
	a, err := h.Interface(name)
	if err != nil {
		return err
	}
	if peer == "" {
		peer = a.Patch
		if peer == "" {
			return nil
		}
		return h.unpatch(a, peer)
	}
	b, err := h.Interface(peer)
	switch {
	case err != nil:
		return config.ENOENT
	case a.Class != "pair" || b.Class != "pair" || a.Name == b.Name:
		return config.EINVAL
	case a.Patch == b.Name:
		return nil
	case a.Patch != "" || b.Patch != "":
		return config.EBUSY
	}
	for _, i := range []Interface{a, b} {
		if class, ok := Unit(i.Name); !ok || class != "pair" { // somebody else's
			return config.EINVAL
		}
	}
	for _, i := range []Interface{a, b} {
		if err := h.Destroy(i.Name); err != nil {
			return err
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a.Name
	if err := add("pair", attrs, Options{}, b.Name); err != nil {
		return err
	}
	return h.restore(a, b)
}

func (h linux) unpatch(a Interface, peer string) error {
	b, err := h.Interface(peer)
	if err != nil {
		return err
	}
	if err := h.Destroy(a.Name); err != nil {
		return err
	}
	for _, i := range []Interface{a, b} {
		if err := h.Create(i.Name, Options{}); err != nil {
			return err
		}
	}
	return h.restore(a, b)
}

// restore gives links that were made anew what they had.
func (h linux) restore(all ...Interface) error {
	for _, i := range all {
		err := h.SetLladdr(i.Name, i.Lladdr)
		if err == nil && i.Description != "" {
			err = h.SetDescription(i.Name, i.Description)
		}
		if err == nil {
			err = h.SetMTU(i.Name, i.MTU)
		}
		if err == nil {
			err = h.SetFlags(i.Name, i.Flags&flagsToHost, 0)
		}
		for _, group := range i.Joined {
			if err == nil {
				err = h.Join(i.Name, group)
			}
		}
		for _, a := range i.Addrs {
			if slices.Contains(a.Marks, "tentative") || a.Addr().IsLinkLocalUnicast() {
				continue // the kernel adds its own
			}
			if err == nil {
				err = h.AddAddr(i.Name, a)
			}
		}
		if err != nil {
			return fmt.Errorf("failed to give %s back what it had: %w", i.Name, err)
		}
	}
	return nil
}
