package config

import (
	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/responders/playbook"
	"portcullis/responders/playbook/account"
)

// playbooks reads the shipped playbooks and those of the folders that c names.
func (c *Config) playbooks() (map[string]*playbook.Playbook, diag.Problems, error) {
	var dirs []string
	for _, d := range c.Playbooks.Dirs {
		dirs = append(dirs, c.path(d))
	}
	files, problems := collect("playbooks", c.Playbooks.Catalog, dirs)
	books, err := loadPlaybooks(files)
	problems, err = merge(problems, err)
	return books, problems, err
}

func loadPlaybooks(files []detections.File) (map[string]*playbook.Playbook, error) {
	own := make([]playbook.File, 0, len(files))
	for _, f := range files {
		own = append(own, playbook.File{Name: f.Name, Data: f.Data})
	}
	kinds := map[string]playbook.Kind{}
	for name, m := range account.Measures(nil) {
		kinds[name] = m.Kind()
	}
	return playbook.Load(own, kinds)
}
