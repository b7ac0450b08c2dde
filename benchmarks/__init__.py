"""Programs that measure speed and memory and print tables; tests never do."""
