// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
)

// userRole is the name of the Role in the manifest, and of its binding.
const userRole = "kubectl-velo-user"

// rbacOptions are those of kubectl velo rbac.
type rbacOptions struct {
	// Bound to flags.
	users           []string
	groups          []string
	serviceAccounts []string

	// Computed.
	namespace string
	subjects  []rbacv1.Subject

	streams genericiooptions.IOStreams
}

func newRBACCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &rbacOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "rbac [--user NAME]... [--group NAME]... [--serviceaccount NAMESPACE:NAME]...",
		Short: "Print the rights that users of a namespace need, for an administrator to grant",
		Long: templates.LongDesc(`
			Print a Role that has everything kubectl velo needs in a namespace, with a reason for every rule, for an
			administrator to read and apply. With --user, --group or --serviceaccount, print a RoleBinding, too, that gives
			it to them. No rights reach beyond the namespace.

			It asks nothing of the cluster and changes nothing.`),
		Example: templates.Examples(`
			# See what it takes
			kubectl velo rbac -n shop

			# Let a team intercept the Services of a namespace
			kubectl velo rbac -n shop --group shop-developers | kubectl apply -f -`),
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE: func(*cobra.Command, []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.complete(kubeconfig); err != nil {
				return err
			}
			return o.run()
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.users, "user", nil, "`NAME` of a user to bind the Role to; may be repeated")
	flags.StringArrayVar(&o.groups, "group", nil, "`NAME` of a group to bind the Role to; may be repeated")
	flags.StringArrayVar(&o.serviceAccounts, "serviceaccount", nil, "`NAMESPACE:NAME` of a ServiceAccount to bind the Role to; may be repeated")
	return cmd
}

func (o *rbacOptions) validate() error {
	for _, named := range []struct {
		flag, kind string
		names      []string
	}{{"user", rbacv1.UserKind, o.users}, {"group", rbacv1.GroupKind, o.groups}} {
		for _, name := range named.names {
			if name == "" {
				return usageErrorf("--%s is empty", named.flag)
			}
			o.subjects = append(o.subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: named.kind, Name: name})
		}
	}
	for _, value := range o.serviceAccounts {
		namespace, name, ok := strings.Cut(value, ":")
		if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
			return usageErrorf("--serviceaccount %q: want NAMESPACE:NAME, such as shop:builder", value)
		}
		o.subjects = append(o.subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name})
	}
	return nil
}

func (o *rbacOptions) complete(kubeconfig *genericclioptions.ConfigFlags) (err error) {
	if o.namespace, _, err = kubeconfig.ToRawKubeConfigLoader().Namespace(); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if problems := validation.IsDNS1123Label(o.namespace); len(problems) > 0 {
		return usageErrorf("%q is no name of a namespace: %s", o.namespace, problems[0])
	}
	return nil
}

func (o *rbacOptions) run() error {
	out, err := o.role()
	if err != nil {
		return err
	}
	binding, err := o.binding()
	if err != nil {
		return err
	}
	_, err = o.streams.Out.Write(append(out, binding...))
	return err
}

// role is the manifest as it is written, comments and all, but for the namespace.
func (o *rbacOptions) role() ([]byte, error) {
	namespace, err := yaml.Marshal(o.namespace) // quoted if it looks like a number
	if err != nil {
		return nil, err
	}
	name := []byte("\n  name: " + userRole + "\n")
	if bytes.Count(manifests.UserRole, name) != 1 {
		return nil, fmt.Errorf("the Role's manifest doesn't name %s", userRole)
	}
	return bytes.Replace(manifests.UserRole, name, fmt.Appendf(name, "  namespace: %s", namespace), 1), nil
}

// binding gives the Role to the subjects. Where there are none, it is a comment that says how to.
func (o *rbacOptions) binding() ([]byte, error) {
	if len(o.subjects) == 0 {
		return fmt.Appendf(nil, `---
# To give this Role to a user, a group or a ServiceAccount:
#
#   kubectl create rolebinding %[1]s -n %[2]s --role %[1]s --user ada@example.com
#
# or print the RoleBinding as well, with --user, --group or --serviceaccount.
`, userRole, o.namespace), nil
	}
	binding, err := yaml.Marshal(&rbacv1.RoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: metav1.ObjectMeta{
			Name: userRole, Namespace: o.namespace,
		},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: userRole},
		Subjects: o.subjects,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the RoleBinding: %w", err)
	}
	return append([]byte("---\n# Who has these rights, in this namespace.\n"), binding...), nil
}
