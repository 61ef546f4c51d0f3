// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// call is how a command was called: what a hint may have to name.
type call struct {
	args       []string
	kubeconfig *genericclioptions.ConfigFlags
}

// hinted gives an error that has no hint the one that lies in the call, if there is one: every joined error for itself.
func (c *call) hinted(ctx context.Context, err error) error {
	if all := joined(err); all != nil {
		hinted := make([]error, len(all))
		for i, one := range all {
			hinted[i] = c.hinted(ctx, one)
		}
		return errors.Join(hinted...)
	}
	var already interface{ Hint() string }
	if errors.As(err, &already) {
		return err
	}
	if path := c.missingKubeconfig(err); path != "" {
		return withHint(err, "there is no kubeconfig at %s: name another with --kubeconfig or KUBECONFIG", path)
	}
	if hint := c.meant(ctx, err); hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// missingKubeconfig returns where there should be a kubeconfig, if the cluster isn't reached because there is none: then it
// is looked for where client-go's default says, on this machine.
func (c *call) missingKubeconfig(err error) string {
	_, unreached := errors.AsType[*net.OpError](err)
	if !unreached && !clientcmd.IsContextNotFound(err) || *c.kubeconfig.APIServer != "" {
		return ""
	}
	loader := c.kubeconfig.ToRawKubeConfigLoader()
	if read, err := loader.RawConfig(); err != nil || !clientcmdapi.IsConfigEmpty(&read) {
		return ""
	}
	paths := loader.ConfigAccess().GetLoadingPrecedence()
	for _, path := range paths {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	return strings.Join(paths, " or ")
}
