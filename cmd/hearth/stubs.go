package main

import "github.com/spf13/cobra"

func newConnector() *cobra.Command { return &cobra.Command{Use: "connector"} }
func newDead() *cobra.Command      { return &cobra.Command{Use: "dead"} }
func newQueues() *cobra.Command    { return &cobra.Command{Use: "queues"} }
