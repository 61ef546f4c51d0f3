// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
func (c *call) hinted(err error) error {
	if all := joined(err); all != nil {
		hinted := make([]error, len(all))
		for i, one := range all {
			hinted[i] = c.hinted(one)
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
	if namespace := c.defaultNamespace(err); namespace != "" {
		return withHint(err, "it was looked for in namespace %q; -n names another", namespace)
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

// defaultNamespace returns the namespace in which something that was named was not found, if nobody has named that.
func (c *call) defaultNamespace(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) || status.Status().Details == nil || *c.kubeconfig.Namespace != "" {
		return ""
	}
	missing := status.Status().Details.Name
	named := slices.ContainsFunc(c.args, func(arg string) bool { return arg[strings.Index(arg, "/")+1:] == missing })
	if !named {
		return ""
	}
	namespace, _, err := c.kubeconfig.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return ""
	}
	return namespace
}
