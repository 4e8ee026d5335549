package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/terminal"
)

func newToolsDraft() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "draft FILE",
		Short: "Write a catalogue to edit from recorded calls",
		Long: "draft reads events as classify does, and writes an entry for each tool with what is known of it, the most called first. What is not known is\n" +
			"left as a comment to fill in. Put the file into the folder tools of your policies. The exit code is 1 if lines did\n" +
			"not decode.",
		Example: "  wayward tools draft events.jsonl.zst -o policies/tools/seen.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err == nil {
				err = s.empty(cmd, args[0])
			}
			if err != nil {
				return err
			}
			var b bytes.Buffer
			s.Draft(&b, terminal.OneLine)
			if output == "" {
				_, err = cmd.OutOrStdout().Write(b.Bytes())
				return cmp.Or(err, s.bad.code())
			}
			// what somebody edited must not be lost
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return fmt.Errorf("output: %w; name a new file", err)
			}
			_, err = f.Write(b.Bytes())
			return cmp.Or(errors.Join(err, f.Close()), s.bad.code())
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "new `file` to write; standard output without")
	return cmd
}
