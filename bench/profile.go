package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"portcullis/catalog"
	"portcullis/detections"
	"portcullis/logstream"
)

// profile replays the file within this process, as the replay command does with
// the shipped rules, and writes the profiles asked for.
func profile(ctx context.Context, file string, o options, out io.Writer) (err error) {
	lists, err := detections.ReadLists(catalog.FS, "lists")
	if err != nil {
		return err
	}
	files, err := detections.ReadDir(catalog.FS, "rules", "catalog/")
	if err != nil {
		return err
	}
	rules, err := detections.Load(files, lists)
	if err != nil {
		return err
	}
	alerts := 0
	engine, err := detections.NewEngine("acme-prod", rules, detections.Options{OnChange: func(c detections.Change) {
		if c.Transition == detections.Opened {
			alerts++
		}
	}})
	if err != nil {
		return err
	}
	if o.mem != "" {
		runtime.MemProfileRate = 4 << 10
	}
	if o.cpu != "" {
		f, err := os.Create(o.cpu)
		if err != nil {
			return fmt.Errorf("write the CPU profile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("take the CPU profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	began := time.Now()
	source := logstream.NewFile([]string{file}, logstream.FileOptions{Workers: o.workers})
	err = source.Run(ctx, func(_ context.Context, b logstream.Batch) error {
		for i := range b.Events {
			engine.Ingest(&b.Events[i])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("replay %s: %w", file, err)
	}
	engine.Settle()
	fmt.Fprintf(out, "%d events, %d alerts in %.2f s\n", engine.Stats().Events, alerts, time.Since(began).Seconds())
	if o.mem == "" {
		return nil
	}
	f, err := os.Create(o.mem)
	if err != nil {
		return fmt.Errorf("write the memory profile: %w", err)
	}
	defer f.Close()
	runtime.GC() // the profile ends at the last collection, and tells what the windows hold
	runtime.KeepAlive(engine)
	if err := pprof.Lookup("allocs").WriteTo(f, 0); err != nil {
		return fmt.Errorf("write the memory profile: %w", err)
	}
	return f.Close()
}
