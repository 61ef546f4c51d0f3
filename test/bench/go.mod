// The benchmark: see README.md.
module github.com/kubectl-velo/kubectl-velo/test/bench

go 1.26.0

require (
	github.com/spf13/cobra v1.9.1
	github.com/spf13/pflag v1.0.6
	golang.org/x/sync v0.22.0
	golang.org/x/sys v0.47.0
)

require github.com/inconshreveable/mousetrap v1.1.0 // indirect
