// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kuberuntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

const (
	// versionTimeout bounds the whole command, askTimeout each traffic-proxy's answer, askedAtOnce how many are asked.
	versionTimeout = 15 * time.Second
	askTimeout     = 5 * time.Second
	askedAtOnce    = 8
)

// Versions is what kubectl velo version prints with -o json or yaml. Its field names are interface.
type Versions struct {
	metav1.TypeMeta `json:",inline"`

	Plugin Build `json:"plugin"`
	// TrafficProxies are those that run in the cluster. It is missing with --client, and where they can't be listed.
	TrafficProxies []TrafficProxyVersion `json:"trafficProxies,omitempty"`
}

// Build is what is known of this plugin.
type Build struct {
	Version string `json:"version"`
	// Protocol is the version of the tunnel's protocol.
	Protocol int `json:"protocol"`
	// ProxyImage is the traffic-proxy's image of new sessions.
	ProxyImage string `json:"proxyImage"`
	// GoVersion is what it was built with, Platform what for, as OS/ARCHITECTURE.
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// TrafficProxyVersion is that of a traffic-proxy.
type TrafficProxyVersion struct {
	// Name and Namespace are its pod's, Service is the one that it stands in for, if it does.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Service   string `json:"service,omitempty"`
	Session   string `json:"session"`
	Image     string `json:"image"`
	// Version is what it says itself, or missing if it doesn't say.
	Version string `json:"version,omitempty"`
	// Protocol is the version of the tunnel's protocol that it speaks, or missing if that isn't known.
	Protocol int `json:"protocol,omitempty"`
	// Compatible is whether it goes with this plugin, or missing if that isn't known. Error says why not.
	Compatible *bool  `json:"compatible,omitempty"`
	Error      string `json:"error,omitempty"`
}

// goesWith says for people whether it goes with this plugin.
func (v *TrafficProxyVersion) goesWith() string {
	switch {
	case v.Compatible == nil:
		return "unknown"
	case *v.Compatible:
		return "yes"
	case v.Protocol < proxy.ProtocolVersion:
		return "no: it is older"
	}
	return "no: it is newer"
}

// DeepCopyObject makes Versions a runtime.Object, which the printers want.
func (v *Versions) DeepCopyObject() kuberuntime.Object {
	dup := &Versions{TypeMeta: v.TypeMeta, Plugin: v.Plugin, TrafficProxies: slices.Clone(v.TrafficProxies)}
	for i := range dup.TrafficProxies {
		if compatible := dup.TrafficProxies[i].Compatible; compatible != nil {
			dup.TrafficProxies[i].Compatible = new(*compatible)
		}
	}
	return dup
}

type versionOptions struct {
	allNamespaces bool
	client        bool
	output        string

	cluster *cluster
	// ask asks a traffic-proxy.
	ask     func(context.Context, trafficproxy.Running) (proxy.Peer, error)
	streams genericiooptions.IOStreams
}

func newVersionCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &versionOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "version [-A] [--client] [-o json|yaml]",
		Short: "Print the versions of this plugin and of the traffic-proxies that run, and whether they go together",
		Long: templates.LongDesc(`
			Print the version of this plugin, the image of the traffic-proxy that it deploys, and the versions of the
			traffic-proxies that run in the namespace, or in all, and whether they go with this plugin. It asks each of them
			through a port-forward, which disturbs no session, and changes nothing.

			A plugin and a traffic-proxy go together if they speak the same version of the tunnel's protocol.`),
		Example: templates.Examples(`
			# Both ends' versions, in this namespace
			kubectl velo version

			# This plugin's alone, without a cluster
			kubectl velo version --client

			# The image to mirror, for clusters without a way out
			kubectl velo version --client -o json | jq -r .plugin.proxyImage`),
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if o.client {
				return o.print(newVersions())
			}
			var err error
			if o.cluster, err = connect(kubeconfig); err != nil {
				return errors.Join(o.print(newVersions()), err)
			}
			o.ask = o.cluster.ask
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "ask the traffic-proxies of all namespaces")
	cmd.Flags().BoolVar(&o.client, "client", false, "ask nothing of the cluster")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "output format: `json|yaml`")
	return cmd
}

func (o *versionOptions) validate() error {
	switch {
	case !slices.Contains([]string{"", "json", "yaml"}, o.output):
		return usageErrorf("--output %q is none of json, yaml", o.output)
	case o.client && o.allNamespaces:
		return usageErrorf("--client asks no namespace, and --all-namespaces asks all")
	}
	return nil
}

// run prints what is known of this plugin even when the cluster doesn't answer.
func (o *versionOptions) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	namespace := o.cluster.namespace
	if o.allNamespaces {
		namespace = metav1.NamespaceAll
	}
	versions := newVersions()
	running, err := trafficproxy.ListRunning(ctx, o.cluster.client, namespace)
	if err != nil {
		return errors.Join(o.print(versions), withHint(err, "'kubectl velo version --client' asks nothing of the cluster"))
	}
	versions.TrafficProxies = o.askAll(ctx, running)
	if err := o.print(versions); err != nil {
		return err
	}
	report := newReport(o.streams.ErrOut)
	for i := range versions.TrafficProxies {
		if p := &versions.TrafficProxies[i]; p.Error != "" {
			report.warns("pod %s/%s doesn't say its version: %s", p.Namespace, p.Name, p.Error)
		}
	}
	if len(running) == 0 && o.output == "" {
		where := "in " + namespace + " namespace"
		if o.allNamespaces {
			where = "in any namespace"
		}
		_, err = fmt.Fprintf(o.streams.ErrOut, "No traffic-proxies found %s.\n", where)
	}
	return err
}

func (o *versionOptions) askAll(ctx context.Context, running []trafficproxy.Running) []TrafficProxyVersion {
	all := make([]TrafficProxyVersion, len(running))
	var g errgroup.Group
	g.SetLimit(askedAtOnce)
	for i, r := range running {
		g.Go(func() error {
			all[i] = o.askOne(ctx, r)
			return nil
		})
	}
	_ = g.Wait() // its functions return no errors
	return all
}

func (o *versionOptions) askOne(ctx context.Context, r trafficproxy.Running) TrafficProxyVersion {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	v := TrafficProxyVersion{Name: r.Pod, Namespace: r.Namespace, Service: r.Service, Session: r.Session, Image: r.Image}
	peer, err := o.ask(ctx, r)
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Version, v.Protocol = peer.Version, peer.Protocol
	v.Compatible = new(peer.Protocol == proxy.ProtocolVersion)
	return v
}

var errNoTunnelPort = errors.New("its pod doesn't say where it takes the tunnel")

// ask asks a traffic-proxy for its versions.
func (c *cluster) ask(ctx context.Context, r trafficproxy.Running) (proxy.Peer, error) {
	if r.TunnelPort == 0 {
		return proxy.Peer{}, errNoTunnelPort
	}
	transport := portforward.New(c.config, c.client.CoreV1().RESTClient(), r.Namespace, r.Pod, r.TunnelPort)
	return proxy.Ask(ctx, transport, Version)
}

func newVersions() *Versions {
	v := &Versions{Plugin: Build{
		Version: Version, Protocol: proxy.ProtocolVersion,
		ProxyImage: proxyImage(cmp.Or(os.Getenv(proxyImageEnv), proxyRepository), Version, ProxyDigest),
		GoVersion:  runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}}
	v.SetGroupVersionKind(outputGroup.WithKind("Versions"))
	return v
}

func (o *versionOptions) print(v *Versions) error {
	switch o.output {
	case "json":
		return (&printers.JSONPrinter{}).PrintObj(v, o.streams.Out)
	case "yaml":
		return (&printers.YAMLPrinter{}).PrintObj(v, o.streams.Out)
	}
	_, err := fmt.Fprintf(o.streams.Out, "Plugin: %s\nTunnel protocol: %d\nTraffic-proxy image: %s\n",
		v.Plugin.Version, v.Plugin.Protocol, v.Plugin.ProxyImage)
	if err != nil || len(v.TrafficProxies) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(o.streams.Out); err != nil {
		return err
	}
	return printers.NewTablePrinter(printers.PrintOptions{WithNamespace: o.allNamespaces}).PrintObj(versionTable(v), o.streams.Out)
}

func versionTable(v *Versions) *metav1.Table {
	table := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{
		{Name: "Traffic-proxy", Type: "string"},
		{Name: "Version", Type: "string"},
		{Name: "Protocol", Type: "string"},
		{Name: "Goes with plugin", Type: "string"},
	}}
	for i := range v.TrafficProxies {
		p := &v.TrafficProxies[i]
		protocol := "unknown"
		if p.Compatible != nil {
			protocol = strconv.Itoa(p.Protocol)
		}
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: []any{p.Name, cmp.Or(p.Version, "unknown"), protocol, p.goesWith()},
			Object: kuberuntime.RawExtension{Object: &metav1.PartialObjectMetadata{
				ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace},
			}},
		})
	}
	return table
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf("unexpected argument %q", args[0])
	}
	return nil
}
