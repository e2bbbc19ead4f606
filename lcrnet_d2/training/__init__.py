"""What a training run does besides its steps: finite losses, repeatable order, averaged weights, images."""
