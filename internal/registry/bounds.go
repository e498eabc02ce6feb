package registry

import "github.com/hearthfaas/hearth/internal/hearth"

// Most bounds the replicas of one instance, whatever labels and operators ask for. 0 is no bound.
type Most struct {
	Function int // of one function: --max-replicas
	All      int // of all functions together: --max-replicas-all
}

// limit is how many of the replicas that are asked for a function may have here. A function is never denied
// its first one, so that it can be woken.
func (r *Registry) limit(f hearth.Function, replicas int) int {
	replicas = min(replicas, f.MaxReplicas)
	if r.cfg.Most.Function > 0 {
		replicas = min(replicas, r.cfg.Most.Function)
	}
	if r.cfg.Most.All > 0 && replicas > 1 {
		others := r.others(f.Name(), func(f hearth.Function) int { return f.Replicas })
		replicas = min(replicas, max(r.cfg.Most.All-others, 1))
	}
	return replicas
}

// others adds up what all functions but one have.
func (r *Registry) others(but hearth.Name, have func(hearth.Function) int) (sum int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for n, rec := range r.records {
		if n != but && rec.deployed() {
			sum += have(rec.function())
		}
	}
	return sum
}

// fits returns an error of code Invalid for a function that always wants more replicas than there may be.
func (r *Registry) fits(f hearth.Function) error {
	least, most := f.MinReplicas, r.cfg.Most
	if most.Function > 0 && least > most.Function {
		return hearth.Errorf(hearth.Invalid,
			"function %s: com.openfaas.scale.min is %d, and hearth allows a function at most "+
				"%d replicas (--max-replicas)", f.Service, least, most.Function)
	}
	if most.All == 0 || least == 0 {
		return nil
	}
	if others := r.others(f.Name(),
		func(other hearth.Function) int { return other.MinReplicas }); others+least > most.All {
		return hearth.Errorf(hearth.Invalid,
			"function %s: com.openfaas.scale.min is %d, the minimums of the other functions add "+
				"up to %d, and hearth allows %d replicas in total (--max-replicas-all)", f.Service,
			least, others, most.All)
	}
	return nil
}

// Capabilities are what the provider can honour of a spec, within the bounds of this instance.
func (r *Registry) Capabilities() hearth.Capabilities {
	c := r.parts.Provider.Capabilities()
	c.MaxReplicas = r.cfg.Most.Function
	return c
}
