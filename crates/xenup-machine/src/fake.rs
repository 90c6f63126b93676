//! A fake machine in memory. Never touches a real one.
