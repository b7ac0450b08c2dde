"""Query engines behind one small protocol: run SQL, get Arrow."""
