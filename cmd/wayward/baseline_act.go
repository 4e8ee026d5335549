package main

import (
	"github.com/spf13/cobra"
)

// baselineAct is an operation on a baseline that a person signs.
type baselineAct struct {
	op, short, long, example string
}

const signedBy = " --reason 'looked at it' --by alice --key alice.pem"

var baselineActs = []baselineAct{
	{"freeze", "Let a baseline learn nothing more", "It goes on to score and to call, by what it knows.",
		"  wayward baseline freeze support --tenant acme --config wayward.yaml" + signedBy},
	{"unfreeze", "Let a baseline learn again", "It is also the way back from suspect.",
		"  wayward baseline unfreeze support --tenant acme --config wayward.yaml" + signedBy},
	{"suspect", "Say that a baseline may be poisoned",
		"It scores, learns nothing and calls nobody until somebody unfreezes it, resets it or rolls it back.",
		"  wayward baseline suspect support --tenant acme --config wayward.yaml" + signedBy},
	{"reset", "Forget what a baseline has learned",
		"It begins anew and is learning for a week or so. What was declared in policies holds as before.",
		"  wayward baseline reset support --tenant acme --config wayward.yaml" + signedBy},
	{"rollback", "Go back to an earlier snapshot",
		"What was learned after --day is forgotten, and learning goes on from there. The snapshots of the last eight days are kept.",
		"  wayward baseline rollback support --tenant acme --day 2026-11-18 --config wayward.yaml" + signedBy},
	{"approve", "Let something that waits in quarantine be learned",
		"ITEM is what wayward baseline show lists under WAITING, and what a finding of a baseline shift names.",
		"  wayward baseline approve support tool:bank.transfer --tenant acme --config wayward.yaml" + signedBy},
	{"reject", "Keep something in quarantine for good",
		"ITEM is what wayward baseline show lists under WAITING, and what a finding of a baseline shift names. It stays new, and calls somebody each time.",
		"  wayward baseline reject support tool:bank.transfer --tenant acme --config wayward.yaml" + signedBy},
}

func newBaselineActs() (out []*cobra.Command) {
	for _, a := range baselineActs {
		var o baselineOrder
		decides := a.op == "approve" || a.op == "reject"
		use, args := a.op+" PERSONA", cobra.ExactArgs(1)
		if decides {
			use, args = a.op+" PERSONA ITEM", cobra.ExactArgs(2)
		}
		cmd := &cobra.Command{Use: use, Short: a.short, Args: args, Example: a.example,
			Long: a.long + "\n" + a.op +
				" writes signed feedback to agent.feedback and waits for what the engine makes of it: the changed snapshot is in force at once. Exit 1 if it\n" +
				"was refused, or if nothing came.",
			RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, a.op, args) }}
		o.flags(cmd)
		require(cmd, "tenant", "reason", "by")
		f := cmd.Flags()
		f.StringVar(&o.fork, "fork", "",
			"`fork` of the persona, as list shows it; without, the agents that say neither version nor model")
		f.BoolVar(&o.dry, "dry-run", false, "print the signed record and send nothing")
		f.BoolVar(&o.yes, "yes", false, "do not ask before the baseline of a whole tenant")
		if a.op == "rollback" {
			cmd.Flags().StringVar(&o.day, "day", "", "UTC `day` of the snapshot to go back to, such as 2026-11-18")
			cmd.Flags().StringVar(&o.hash, "hash", "",
				"`hash` that this snapshot must have, as findings and list cite it")
			require(cmd, "day")
		}
		out = append(out, cmd)
	}
	return out
}
