// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// resource is what the API has of a kind. All that are known here are of version v1.
func (k workloadKind) resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.group, Version: "v1", Resource: k.plural}
}

// word is the one of its spellings that is offered.
func (k workloadKind) word() string {
	switch k.singular {
	case "deployment", "statefulset", "daemonset", "replicaset", "service":
		return k.short
	}
	return k.singular
}

// words are the spellings to be offered after a beginning: the usual one, or those that do begin so.
func (k workloadKind) words(begin string) []string {
	if strings.HasPrefix(k.word(), begin) {
		return []string{k.word()}
	}
	var words []string
	for _, word := range []string{k.singular, k.plural} {
		if strings.HasPrefix(word, begin) {
			words = append(words, word)
			break // the plural begins like the singular
		}
	}
	return words
}

// kindsCalled are those of the workloads' kinds.
func kindsCalled(singular ...string) []workloadKind {
	return slices.DeleteFunc(workloadKinds(), func(k workloadKind) bool { return !slices.Contains(singular, k.singular) })
}

// forwardKinds are the kinds that kubectl velo forward is used with.
func forwardKinds() []workloadKind {
	return slices.DeleteFunc(workloadKinds(), func(k workloadKind) bool { return k.singular == "cronjob" })
}

// objects offers TYPE/NAME, for types of these kinds: the types first, if there are several that the word may mean.
func objects(kinds []workloadKind) offering {
	return func(ctx context.Context, l *catalogue, _ *cobra.Command, args []string, toComplete string) ([]string, error) {
		typ, _, named := strings.Cut(toComplete, "/")
		if !named {
			types := make([]string, 0, len(kinds))
			for _, kind := range kinds {
				types = append(types, kind.words(typ)...)
			}
			if len(types) != 1 {
				for i := range types {
					types[i] += "/"
				}
				return types, nil
			}
			typ = types[0]
		}
		for _, kind := range kinds {
			if !kind.isCalled(typ) {
				continue
			}
			words, err := l.named(ctx, kind, typ, args)
			if len(words) == 0 && !named {
				return []string{typ + "/"}, err
			}
			return words, err
		}
		return nil, nil
	}
}

// named offers the objects of a kind, but for those that are named already, and the traffic-proxies'.
func (l *catalogue) named(ctx context.Context, kind workloadKind, typ string, but []string) ([]string, error) {
	found, err := l.list(ctx, kind.resource(), l.namespace)
	if err != nil {
		return nil, err
	}
	var words []string
	for i := range found {
		item := &found[i]
		word := typ + "/" + item.Name
		if item.Labels["app.kubernetes.io/managed-by"] == selector.FieldManager || slices.Contains(but, word) {
			continue
		}
		if by := interceptedBy(item); kind.singular == "service" && by != "" {
			word = cobra.CompletionWithDesc(word, "intercepted by "+by)
		}
		words = append(words, word)
	}
	return words, nil
}

// interceptedBy names who intercepts a Service, if somebody does.
func interceptedBy(item *metav1.PartialObjectMetadata) string {
	held, err := selector.Of(&corev1.Service{ObjectMeta: item.ObjectMeta})
	if err != nil || held == nil {
		return ""
	}
	return held.Owner
}

// restorable offers the Services that are intercepted, or have a traffic-proxy of a session that didn't get so far.
func restorable(ctx context.Context, l *catalogue, cmd *cobra.Command, args []string, _ string) ([]string, error) {
	if all, err := cmd.Flags().GetBool("all"); all || err != nil {
		return nil, err
	}
	found, err := l.list(ctx, kindsCalled("service")[0].resource(), l.namespace)
	if err != nil {
		return nil, err
	}
	owners := make(map[string]string)
	for i := range found {
		if _, held := found[i].Annotations[selector.Annotation]; held {
			owners[found[i].Name] = interceptedBy(&found[i])
		}
	}
	if staged, err := trafficproxy.List(ctx, l.client, l.namespace); err == nil { // else these are all that can be found
		for _, proxy := range staged {
			if _, known := owners[proxy.Service]; !known {
				owners[proxy.Service] = ""
			}
		}
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		word := "svc/" + name
		switch {
		case slices.Contains(args, word):
		case owners[name] != "":
			words = append(words, cobra.CompletionWithDesc(word, "intercepted by "+owners[name]))
		default:
			words = append(words, word)
		}
	}
	return words, nil
}

// hosts offers Services as dependencies are called.
func hosts(ctx context.Context, l *catalogue, _ *cobra.Command, _ []string, _ string) ([]string, error) {
	words, err := l.named(ctx, kindsCalled("service")[0], "", nil)
	return names(words), err
}

// namespaces offers those of the cluster, or of the kubeconfig, if the cluster's may not be listed.
func namespaces(kubeconfig *genericclioptions.ConfigFlags) offering {
	return func(ctx context.Context, l *catalogue, _ *cobra.Command, _ []string, _ string) ([]string, error) {
		var words []string
		found, err := l.list(ctx, corev1.SchemeGroupVersion.WithResource("namespaces"), metav1.NamespaceAll)
		for i := range found {
			words = append(words, found[i].Name)
		}
		if err == nil {
			return words, nil
		}
		return ofKubeconfig(kubeconfig, func(config *clientcmdapi.Config) []string {
			for _, one := range config.Contexts {
				words = append(words, one.Namespace)
			}
			slices.Sort(words)
			return slices.DeleteFunc(slices.Compact(words), func(word string) bool { return word == "" })
		}), nil
	}
}

// ofKubeconfig returns words of the kubeconfig, or none.
func ofKubeconfig(kubeconfig *genericclioptions.ConfigFlags, words func(*clientcmdapi.Config) []string) []string {
	config, err := kubeconfig.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil
	}
	return words(&config)
}

// ofConfig offers words of the kubeconfig.
func ofConfig(kubeconfig *genericclioptions.ConfigFlags, words func(*clientcmdapi.Config) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return offered(ofKubeconfig(kubeconfig, words), toComplete)
	}
}

// containers offers those of the pods of what the first argument names.
func containers(ctx context.Context, l *catalogue, _ *cobra.Command, args []string, _ string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	w, err := findWorkload(ctx, l.cluster, args[0])
	if err != nil {
		return nil, err
	}
	var words []string
	for _, container := range slices.Concat(w.pod.Spec.Containers, w.pod.Spec.InitContainers) {
		words = append(words, container.Name)
	}
	return words, nil
}
