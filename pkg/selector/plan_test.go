// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"bytes"
	"errors"
	"testing"

	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestSwapPatchIsWhatSwapSends(t *testing.T) {
	client := fake.NewClientset(cart())
	planned, err := SwapPatch(cart(), note("ours"), toProxy("ours"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Swap(t.Context(), client.CoreV1().Services("shop"), cart(), note("ours"), toProxy("ours")); err != nil {
		t.Fatal(err)
	}
	actions := client.Actions()
	if sent := actions[len(actions)-1].(clienttesting.PatchAction).GetPatch(); !bytes.Equal(sent, planned) {
		t.Errorf("planned %s, sent %s", planned, sent)
	}
}

func TestSwapPatchRefuses(t *testing.T) {
	_, err := SwapPatch(swapped(t, "theirs"), note("ours"), toProxy("ours"))
	if _, held := errors.AsType[*InterceptedError](err); !held {
		t.Errorf("SwapPatch: %v, want an InterceptedError", err)
	}
	bare := cart()
	bare.Spec.Selector = nil
	if _, err := SwapPatch(bare, note("ours"), toProxy("ours")); err == nil {
		t.Error("SwapPatch of a Service without a selector succeeded")
	}
}
