// Package regress holds the tests that need root, network namespaces and real peers. They run the commands as built into bin/.
package regress
