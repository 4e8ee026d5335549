package main

import (
	"github.com/spf13/cobra"
)

func newPersonas() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "personas",
		Short: "Check, show, test and explain what each role may do",
		Long: "personas is for those who write policies: it reads a folder of them as the engine does, without a broker. A persona says what one role of\n" +
			"agents may use, touch and reach.",
		Example: "  wayward personas lint policies\n" +
			"  wayward personas test policies\n" +
			"  wayward personas explain --policies policies --event call.json",
	}
	cmd.AddCommand(newPersonasLint(), newPersonasShow(), newPersonasTest(), newPersonasExplain(), newPersonasSuggest(),
		newPersonasDiff())
	return cmd
}
