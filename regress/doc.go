// Package regress holds the tests that need root, network namespaces and real peers. They run the commands as built into bin/. Those of them that fail
// while the machine stands still are run again, see again.
package regress
