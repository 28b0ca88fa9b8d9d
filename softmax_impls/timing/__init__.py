"""How long? Real shapes, a sampler that is fair to all, statistics that know their noise, the machine."""
