"""Deltaloom: trained recurrent networks as fixed-point hardware, proven equal to their model."""
