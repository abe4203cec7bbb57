//go:build !linux

// Package faultdisk gives tests disks that are full or cannot be written. It is for Linux alone.
package faultdisk
