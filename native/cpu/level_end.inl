// Closes what cpu/level_begin.inl opened.
}  // namespace
}  // namespace spikeloom::<level>
#if SPIKELOOM_LEVEL_NOW > 0
SPIKELOOM_TARGET_END
#endif
