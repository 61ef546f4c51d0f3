// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// completeTimeout bounds the answer to a TAB. What takes longer isn't offered.
const completeTimeout = 3 * time.Second

// completer tells shells how a word goes on. Where that can't be found out, it offers nothing, and says nothing.
//
// k8s.io/kubectl/pkg/util/completion does the like for kubectl's own commands, and doesn't fit: it discovers the API
// first, which is dozens of requests where they aren't cached, has no deadline, and reads the flags from a package
// variable. Here, names are one request for nothing but metadata.
type completer struct {
	// open opens what names are looked up in. It asks nothing of the cluster.
	open func() (*catalogue, error)
}

// catalogue is what names are looked up in.
type catalogue struct {
	*cluster

	metadata metadata.Interface
}

func newCompleter(kubeconfig *genericclioptions.ConfigFlags) *completer {
	return &completer{open: func() (*catalogue, error) {
		// The terminal is a shell's that waits for its line to go on: a credential plugin must not ask for a password there.
		kubeconfig.WrapConfigFn = func(config *rest.Config) *rest.Config {
			if config.ExecProvider != nil {
				config.ExecProvider.StdinUnavailable = true
			}
			return config
		}
		return newCatalogue(kubeconfig)
	}}
}

// newCatalogue asks nothing of the cluster yet.
func newCatalogue(kubeconfig *genericclioptions.ConfigFlags) (*catalogue, error) {
	c, err := connect(kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := metadata.NewForConfig(c.config)
	return &catalogue{c, client}, err
}

// offering looks up how a word goes on, after the arguments before it.
type offering func(ctx context.Context, l *catalogue, cmd *cobra.Command, args []string, toComplete string) ([]string, error)

// ask makes an offering that asks the cluster one of cobra's functions. What it returns is filtered by what the word begins
// with.
func (c *completer) ask(offer offering) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if afterDash(cmd) {
			return nil, cobra.ShellCompDirectiveDefault // the COMMAND, and its files
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		answer := make(chan []string, 1)
		// Credential plugins take no context. They end by themselves, or with this process, which is about to end.
		go func() {
			l, err := c.open()
			if err != nil {
				answer <- nil
				return
			}
			words, _ := offer(ctx, l, cmd, args, toComplete)
			answer <- words
		}()
		select {
		case words := <-answer:
			return offered(words, toComplete)
		case <-ctx.Done():
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// offered keeps the words that go on as wanted. After those that aren't whole there is no space.
func offered(words []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	words = slices.DeleteFunc(words, func(word string) bool { return !strings.HasPrefix(word, toComplete) })
	partly := func(word string) bool { return strings.HasSuffix(word, "/") }
	if len(words) > 0 && !slices.ContainsFunc(words, func(word string) bool { return !partly(word) }) {
		return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// first offers a first argument, and no second.
func first(offer offering) offering {
	return func(ctx context.Context, l *catalogue, cmd *cobra.Command, args []string, toComplete string) ([]string, error) {
		if len(args) > 0 {
			return nil, nil
		}
		return offer(ctx, l, cmd, args, toComplete)
	}
}

// wordsKey is the key of a call's words in its context.
type wordsKey struct{}

// withWords has the context tell the words of the call.
func withWords(ctx context.Context, words []string) context.Context {
	return context.WithValue(ctx, wordsKey{}, words)
}

// afterDash reports whether a word after -- is to be completed. Cobra parses the words in a way that doesn't tell.
func afterDash(cmd *cobra.Command) bool {
	words, _ := cmd.Context().Value(wordsKey{}).([]string)
	return len(words) > 1 && slices.Contains(words[:len(words)-1], "--")
}

// list lists what there is of a resource, by metadata alone. It is the API server's cache that answers.
func (l *catalogue) list(ctx context.Context, of schema.GroupVersionResource, namespace string) ([]metav1.PartialObjectMetadata, error) {
	found, err := l.metadata.Resource(of).Namespace(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	return found.Items, nil
}
