"""The generators that learn: GAN and flow matching, for crops and for scenes."""
