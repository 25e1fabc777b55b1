"""The rendered shop: products, brand marks, backdrops, sellers and a camera, drawn from code with numpy and Pillow."""
