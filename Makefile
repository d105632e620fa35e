# CARP for every Unix. Runs under GNU make and BSD make.
#
#	make		builds the commands in bin
#	make demo	shows a fail-over in network namespaces (root; installs what it needs)
#	make test	runs every test (root; installs what it needs)
#	make soak	simulates clusters with fresh seeds, for SECONDS=60
#	make storms	simulates STORMS=100000 clusters whose clocks and memories differ
#	make fuzz	runs each fuzz target for FUZZTIME, 5s
#	make html	renders the manual into html/
#	make install	PREFIX=/usr/local DESTDIR=
#	make enable	starts kernelsim at boot, and when a command first needs it; make disable

PREFIX = /usr/local
DESTDIR =
MANDIR = $(PREFIX)/share/man
SYSCONFDIR = /etc
LIBDIR = $(PREFIX)/lib/carp
# what stands under the system's names, for scripts that have this directory first in PATH
NAMEDIR = $(PREFIX)/libexec/carp
NAMES = ifconfig sysctl netstat
GO = go
FUZZTIME = 5s
GOENV = CGO_ENABLED=0 GOTOOLCHAIN=local
BUILD = $(GOENV) $(GO) build -trimpath -buildvcs=false
SERVICES = PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) DESTDIR=$(DESTDIR) sh rc.d/services.sh
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
COMMANDS = ifconfig-carp sysctl-carp netstat-carp kernelsim
SECONDS = 60
STORMS = 100000
PAGES3 = libcarp.3 sysctl-carp.3
PAGES4 = carp.4
PAGES5 = carpstate.5 hostname.carp.5
PAGES7 = carp-migrate.7
PAGES8 = carp-names.8 ifconfig-carp.8 sysctl-carp.8 netstat-carp.8 kernelsim.8

all: build

build:
	@sh regress/go-version.sh $(GO)
	@mkdir -p bin
	$(BUILD) -o bin/ ./ifconfig-carp ./sysctl-carp ./netstat-carp ./kernelsim

demo:
	@sh regress/need.sh demo
	@$(MAKE) build
	@PATH="$$PWD/bin:$$PATH" sh regress/demo.sh

test:
	@sh regress/need.sh test
	@$(MAKE) build
	$(GOENV) $(GO) test -count=1 -timeout 10m ./libcarp/... ./kernelsim ./ifconfig-carp ./sysctl-carp ./netstat-carp ./regress/mutate ./regress/again
	@$(GOENV) sh regress/coverage.sh $(GO)
	@sh libcarp/engine/model/check.sh
	@$(GOENV) $(GO) run ./regress/mutate rules
	$(GOENV) $(GO) run ./regress/again $(GO) test -count=1 -timeout 30m -parallel 4 -v ./regress

fuzz:
	@sh regress/go-version.sh $(GO)
	@$(GOENV) GO="$(GO)" sh regress/fuzz.sh $(FUZZTIME) ./libcarp/...

# every change to the rules and the wire format that the tests might not notice; 'make test' does the decision rules
mutate:
	@sh regress/go-version.sh $(GO)
	@$(GOENV) $(GO) run ./regress/mutate all

# the full number of trials, whose figures are worth writing down
regress-long:
	@sh regress/need.sh test
	@$(MAKE) build
	CARP_REGRESS=long $(GOENV) $(GO) test -count=1 -timeout 60m -v ./regress

# the simulator for as long as asked, with seeds that nobody has run before
soak:
	@sh regress/go-version.sh $(GO)
	CARP_SIM_SECONDS=$(SECONDS) $(GOENV) $(GO) test -count=1 -timeout 0 -v -run 'TestFresh$$' ./libcarp/sim

# the same with the seeds from 1 on, and all that can make clocks and memories differ, and an attacker; about ten minutes
storms:
	@sh regress/go-version.sh $(GO)
	CARP_SIM_STORMS=$(STORMS) $(GOENV) $(GO) test -count=1 -timeout 0 -v -run 'TestStorms$$' ./libcarp/sim

lint:
	@sh regress/go-version.sh $(GO)
	@sh regress/need.sh lint
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt would change:" $$out; exit 1; }
	$(GOENV) $(GO) vet ./...
	CGO_ENABLED=0 $(GO) run $(STATICCHECK) ./...
	@out=$$(mandoc -T lint -W warning man/*.[1-9] 2>&1); [ -z "$$out" ] || { echo "$$out"; exit 1; }
	shellcheck man/examples/* rc.d/boot rc.d/carp rc.d/carp-names rc.d/carp-up rc.d/netstart rc.d/services.sh regress/*.sh regress/scripts/[2-9]*.sh libcarp/engine/model/check.sh .ci/run

# the manual for a browser, in html/
html:
	@sh regress/need.sh lint
	mkdir -p html
	cd man && for p in *.[1-9]; do \
		mandoc -T html -O 'man=%N.%S.html;https://manpages.debian.org/%N.%S' $$p > ../html/$$p.html || exit 1; \
	done

install: build
	$(SERVICES) mkdir $(PREFIX)/sbin $(MANDIR)/man3 $(MANDIR)/man4 $(MANDIR)/man5 $(MANDIR)/man7 $(MANDIR)/man8 $(NAMEDIR)/man/man8 $(SYSCONFDIR)
	for c in $(COMMANDS); do install -m 0755 bin/$$c $(DESTDIR)$(PREFIX)/sbin/ || exit 1; done
	for p in $(PAGES3); do install -m 0644 man/$$p $(DESTDIR)$(MANDIR)/man3/ || exit 1; done
	for p in $(PAGES4); do install -m 0644 man/$$p $(DESTDIR)$(MANDIR)/man4/ || exit 1; done
	for p in $(PAGES5); do install -m 0644 man/$$p $(DESTDIR)$(MANDIR)/man5/ || exit 1; done
	for p in $(PAGES7); do install -m 0644 man/$$p $(DESTDIR)$(MANDIR)/man7/ || exit 1; done
	for p in $(PAGES8); do install -m 0644 man/$$p $(DESTDIR)$(MANDIR)/man8/ || exit 1; done
	for n in $(NAMES); do \
		ln -sf ../../sbin/$$n-carp $(DESTDIR)$(NAMEDIR)/$$n && install -m 0644 man/$$n-carp.8 $(DESTDIR)$(NAMEDIR)/man/man8/$$n.8 || exit 1; \
	done
	sed 's,@PREFIX@,$(PREFIX),g' rc.d/netstart > $(DESTDIR)$(LIBDIR)/netstart
	chmod 0755 $(DESTDIR)$(LIBDIR)/netstart
	[ -e $(DESTDIR)$(SYSCONFDIR)/netstart ] || [ -h $(DESTDIR)$(SYSCONFDIR)/netstart ] || ln -s $(LIBDIR)/netstart $(DESTDIR)$(SYSCONFDIR)/netstart

	$(SERVICES) install

# from now on kernelsim starts at boot, and when a command first needs it
enable disable:
	@$(SERVICES) $@

uninstall:
	$(SERVICES) uninstall
	for c in $(COMMANDS); do rm -f $(DESTDIR)$(PREFIX)/sbin/$$c; done
	for p in $(PAGES3); do rm -f $(DESTDIR)$(MANDIR)/man3/$$p; done
	for p in $(PAGES4); do rm -f $(DESTDIR)$(MANDIR)/man4/$$p; done
	for p in $(PAGES5); do rm -f $(DESTDIR)$(MANDIR)/man5/$$p; done
	for p in $(PAGES7); do rm -f $(DESTDIR)$(MANDIR)/man7/$$p; done
	for p in $(PAGES8); do rm -f $(DESTDIR)$(MANDIR)/man8/$$p; done
	for n in $(NAMES); do rm -f $(DESTDIR)$(NAMEDIR)/$$n $(DESTDIR)$(NAMEDIR)/man/man8/$$n.8 || exit 1; done
	[ "$$(readlink $(DESTDIR)$(SYSCONFDIR)/netstart)" != $(LIBDIR)/netstart ] || rm -f $(DESTDIR)$(SYSCONFDIR)/netstart
	rm -f $(DESTDIR)$(LIBDIR)/netstart
	$(SERVICES) rmdir

clean:
	rm -rf bin html

.PHONY: all build demo test fuzz mutate regress-long soak storms lint html install enable disable uninstall clean
