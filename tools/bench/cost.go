package main

import (
	"slices"
	"time"
)

// cost is what one step used.
type cost struct {
	Step string `json:"step"`
	// Wall is the time that passed, CPU that of the CLI and its providers, Provider that of the providers alone. The peer
	// does not tell.
	Wall     time.Duration `json:"wall_ns"`
	CPU      time.Duration `json:"cpu_ns"`
	Provider time.Duration `json:"provider_cpu_ns,omitempty"`
	// LargestKB is the peak memory of the largest process, ProviderKB that of the largest provider.
	LargestKB  int64 `json:"largest_kb"`
	ProviderKB int64 `json:"provider_kb,omitempty"`
	// Traffic is by the kind and name of the platform: "scim/gamma".
	Traffic map[string]traffic `json:"traffic,omitempty"`
	// Errors are those that the CLI printed before the step succeeded, Said the first of them.
	Errors int    `json:"errors,omitempty"`
	Said   string `json:"said,omitempty"`
}

// plus is the cost of two commands that ran one after the other.
func (c cost) plus(d cost) cost {
	c.Wall, c.CPU, c.Provider = c.Wall+d.Wall, c.CPU+d.CPU, c.Provider+d.Provider
	c.LargestKB, c.ProviderKB = max(c.LargestKB, d.LargestKB), max(c.ProviderKB, d.ProviderKB)
	c.Errors += d.Errors
	if c.Said == "" {
		c.Said = d.Said
	}
	return c
}

// median is taken of each figure by itself; traffic and errors are those of the last round.
func median(rounds [][]cost, step int) cost {
	out := rounds[len(rounds)-1][step]
	out.Wall = middle(rounds, func(r []cost) time.Duration { return r[step].Wall })
	out.CPU = middle(rounds, func(r []cost) time.Duration { return r[step].CPU })
	out.Provider = middle(rounds, func(r []cost) time.Duration { return r[step].Provider })
	out.LargestKB = middle(rounds, func(r []cost) int64 { return r[step].LargestKB })
	out.ProviderKB = middle(rounds, func(r []cost) int64 { return r[step].ProviderKB })
	return out
}

func middle[T time.Duration | int64](rounds [][]cost, figure func([]cost) T) T {
	var figures []T
	for _, round := range rounds {
		figures = append(figures, figure(round))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
